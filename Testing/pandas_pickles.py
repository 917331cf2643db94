"""What real pandas wrote: the same small Lung-RADS table by three versions, in the protocols that pandas uses.

Made by `DataFrame.to_pickle` of pandas 1.5.3 and 2.0.3 (numpy 1.26.4) and 2.2.3 (numpy 2.2.6), compressed with zlib and
in base 85. So the tests read what pandas writes without needing pandas.
"""

import base64
import zlib

_PICKLES = {
    ("1.5.3", 5): (
        "c-pO0TWb?R6wc;S>jg^{wIYb1U_=NgE%+cB+al=JSn^(`vztkF$zH<DEN#F-1(P;1w1po1Ek5RF_~@gL{sTQTn`ly!7K-yQ=giJIXTI+&"
        "=i4oO`B})ArRG~Ss!>sLW6nx-PD2Lj;wqK&wegSP(MQ;UqRNx7!9m>}4fi9-ctitH3TZ?ej0;d#mV?-BzDv)Tu5J!8NZ>o-Uka!>l0+@v"
        "Z3c`uI!6cJh?20?POFDWAbrX?ZDUo!nHxt!^2C)ouwVi~UBKEV<QVKs2UaWx_Mi$y+p_a^whP{zD%51VrJ1Pg`)APGPw#We`T&(m<?U}="
        "X0u;PaC#faHMdrM3M#)=U0eorZ3Gg!jQcLA%cRcZ&`IibL$dgFGc$QvQ|x&ccnd1)kI{I3f<^{u*f~4j1!b*(#4zvvbb$XGFnABs$Gyjs"
        "pFZjvb5Er<^P)dqV6|+_k52l1{nPM%cd}g^+&?Ir-qc5W;}s`##?tWirosDm*dK$rd2sUi!Rb|b@O=4Hc;AQl6@<5R#^dMi%^<IQIBv&!"
        "vvf}8+XwyAnfKEBUxWOk&;2u*GyD;1)=7Mv@Cc=#AOhcIW`=QWE&coKtlm4I=W$_NbZTsyiIPJFO4TJ2u`TjOf5UWdT@{AD5v>{u8F*K{"
        "c`Xj!^}o`9hdXA}X9DW5;0aE9NJSIWte23X<_ujD2elM(KGK?4NxHg$Rdst3E>5F{23FN}1dK;3$Wu}-k)_HD8Mlz6b{IOAsmb()Qj3Cx"
        "Dy+c|6`6!gQp08g+eM{Bt=$1NL+Sx-821(pf_O`iTGGO1Qpt#+CSYGAPU#Q2|D99"
    ),
    ("1.5.3", 4): (
        "c-pO0Uu)Dr5Kr!MwMwxRQ7el0AXr}xDg_lp&$bAf8s(luDBDeL?-DM_9oY@-frScQ|H#r7I(`=)?_>DrNAMfy>?YxQ5)Tm<vNO9o^PArc"
        "nc1_xJgymf$%Q_RTa?$mUc&0_ghmYH#dRv^3$35Q{g1E<OVT1yCjoi;ym=4{mc%sV^@zr_!x9d1ZZ+(A-PhR}-Q~61gM@+0$1Wh}NgDS9"
        "uNyMrDj#KhHBO`cAVZJRPy{qd=m1ek!n|J0MUr|#8P>ER$P0+AP0qkJhOlP3Z~#qMvQ68vEBoNj%UVke`YIDydGiR44zu^FG(UjjIIn)<"
        "(wqHEfP1uwxmGut4?tQQ&6QQ~FZ&A$*}qcYR&5J$7iA?~9;5lUCb0~KwKiuMrfFuCHUO{wgmzEcj;+gWwe^9H-JZzg36w?O%Hp1mw74TP"
        "X*|tkvDO<}d>>}_Z$B09d*yN^f4|$9&hlZw;Oog~g2~qL?-BCT^F|(_F_po$!r%E@2LD`x+^=ymDgR#$c8*8WYjBjk|H%DMKaa|4!0?l^"
        "ZW>_A#MoOk9tIxMO@V!2Dq40$?L$yM_~K+2x7ZHjb(eDN{YxZf+vKIXLwEn3tQESR0xg^jB|Tx`;im4LnUK0HT*mf^DDQ%t^;1$baiNl4"
        "*aA)2iq(*D(tX77-^&|iyb>CB6tSj~=g9bhgLw*?2+UGiT=e>wq*53vrp9Dy!`X!s0LPjlUyL{sF+p`Un^-O?1P-rVkTawm(vDWI(=hC9"
        "bJ9xtSWGGy(W!Ab<f&W#1%6MWr2"
    ),
    ("2.0.3", 5): (
        "c-pO0TWb?R6wc;S>jg^{wIYb1U_=NgE%+cB+al=JSn^(`vztkF$zH<DEN#F-1(P;1w1po1Ek5RF_~@gL{sTQTn`ly!7K-yQ=giJIXTI+&"
        "=i4oO`B})ArRG~Ss!>sLW6nx-PD2Lj;wqK&wegSP(MQ;UqRNx7!9m>}4fi9-ctitH3TZ?ej0;d#mV?-BzDv)Tu5J!8NZ>o-Uka!>l0+@v"
        "Z3c`uI!6cJh?20?POFDWAbrX?ZDUo!nHxt!^2C)ouwVi~UBKEV<QVKs2UaWx_Mi$y+p_a^whP{zD%51VrJ1Pg`)APGPw#We`T&(m<?U}="
        "X0u;PaC#faHMdrM3M#)=U0eorZ3Gg!jQcLA%cRcZ&`IibL$dgFGc$QvQ|x&ccnd1)kI{I3f<^{u*f~4j1!b*(#4zvvbb$XGFnABs$Gyjs"
        "pFZjvb5Er<^P)dqV6|+_k52l1{nPM%cd}g^+&?Ir-qc5W;}s`##?tWirosDm*dK$rd2sUi!Rb|b@O=4Hc;AQl6@<5R#^dMi%^<IQIBv&!"
        "vvf}8+XwyAnfKEBUxWOk&;2u*GyD;1)=7Mv@Cc=#AOhcIW`=QWE&coKtlm4I=W$_NbZTsyiIPJFO4TJ2u`TjOf5UWdT@{AD5v>{u8F*K{"
        "c`Xj!^}o`9hdXA}X9DW5;0aE9NJSIWte23X<_ujD2elM(KGK?4NxHg$Rdst3E>5F{23FN}1dK;3$Wu}-k)_HD8Mlz6b{IOAsmb()Qj3Cx"
        "Dy+c|6`6!gQp08g+eM{Bt=$1NL+Sx-821(pf_O`iTGGO1Qpt#+CSYGAPU#Q2|D99"
    ),
    ("2.0.3", 4): (
        "c-pO0Uu)Dr5Kr!MwMwxRQ7el0AXr}xDg_lp&$bAf8s(luDBDeL?-DM_9oY@-frScQ|H#r7I(`=)?_>DrNAMfy>?YxQ5)Tm<vNO9o^PArc"
        "nc1_xJgymf$%Q_RTa?$mUc&0_ghmYH#dRv^3$35Q{g1E<OVT1yCjoi;ym=4{mc%sV^@zr_!x9d1ZZ+(A-PhR}-Q~61gM@+0$1Wh}NgDS9"
        "uNyMrDj#KhHBO`cAVZJRPy{qd=m1ek!n|J0MUr|#8P>ER$P0+AP0qkJhOlP3Z~#qMvQ68vEBoNj%UVke`YIDydGiR44zu^FG(UjjIIn)<"
        "(wqHEfP1uwxmGut4?tQQ&6QQ~FZ&A$*}qcYR&5J$7iA?~9;5lUCb0~KwKiuMrfFuCHUO{wgmzEcj;+gWwe^9H-JZzg36w?O%Hp1mw74TP"
        "X*|tkvDO<}d>>}_Z$B09d*yN^f4|$9&hlZw;Oog~g2~qL?-BCT^F|(_F_po$!r%E@2LD`x+^=ymDgR#$c8*8WYjBjk|H%DMKaa|4!0?l^"
        "ZW>_A#MoOk9tIxMO@V!2Dq40$?L$yM_~K+2x7ZHjb(eDN{YxZf+vKIXLwEn3tQESR0xg^jB|Tx`;im4LnUK0HT*mf^DDQ%t^;1$baiNl4"
        "*aA)2iq(*D(tX77-^&|iyb>CB6tSj~=g9bhgLw*?2+UGiT=e>wq*53vrp9Dy!`X!s0LPjlUyL{sF+p`Un^-O?1P-rVkTawm(vDWI(=hC9"
        "bJ9xtSWGGy(W!Ab<f&W#1%6MWr2"
    ),
    ("2.2.3", 5): (
        "c-pO0TWb?R6wc;S>jg_GXhje~!H5v3wBUniY>S{<W667&&Tb~zC3^`ov$O#V6-?U5&=z|1xA>T!;iJz!`49BWY@$g?S}4xLoHIM;ocX@9"
        "oNvGI<!2#dmYQ$Ts76J}jX5jTISm=8tLs$K*Tz4E#~)!2iYiaS1_yO-G~ACQ;}H!+DWnl?FfKsdSPf#g`7S+Uy1F&UAc60Qe<`5mND{St"
        "w;3?v=o}LqC1I;wBBp$p1k$IR(>9hRoVjr%Bu`waBMT-H)D<jlLQcWXbYRVL-~g&nv@JVtXS?9dsX|S*Tbhc>zJCV2!}LC<tPfDBRNnr^"
        "Wj6bz1gE!!WOEzUr=ap1)#X)C3!|9OXWVx|T_<%OhfY$j8=A$h+nLGBnqn`zz*|&Ve~icTGdwcL!_L|HE+}gaB!+nprUU%nfWdo|KJGo4"
        "{PaoRnENWVnHT->0_$aCest3Bo1cdF`;+bR;QnFR^rk-28?QK_GnR&TFb&?f<Ng@T?W42L4^FSjgXhcV!uvkVuOPgY3m(68Zw7hg<8eFI"
        "o0Us4-#zM|&%Br3{~F|<eC}V!oZ*j9vrgjUh({;}1rhizGeeAXYw6!-XZ79zJ&=pzvQuNbOq3idP^_+zi0zO!`WvQuo2oGMjcnCW%D}tn"
        "&1-e=7XE4j9`2f1p9!eLf+ZaHkcuX#SuY_&(HXiV4r(dne56&el5}+gtLn}qT%1M?4Xmo|2pEr6kf)?vB1@GQGHxMB?J#sKQ<Lcp#TFF{"
        "by$NRYBC9#q=wBFwu?%MYP$z&hSUSvFz#&{1o4g_wWNj3q>>RsO~9c@oYEgiXr2}"
    ),
    ("2.2.3", 4): (
        "c-pO0QESvd5KiuLwMwxRK`V;*AXr}ll|n^C&$bAf8s(luDBI25-X&a;JF*+v0}B<rwkJzl==fiJyr1EtKf!;XvzvtWBpxCzWM_7F=9_PZ"
        "%<NlV9@h-L<U*guEz0d?FJX2&p%DXld4mf2LhEPn;3Mq8lC((FNkHDYXdc9ZB{2=T9nqL}Si(Wht%bd2_jPtgcX>VcAYtI~a~F{FB#rw)"
        "vl}wvDIaYdr%``k6Ad4wp$KS_&;i1dgf)9H7fIR_%Ce>{L0&>|ZE^;VF@$x~gF|S*l4ClSQ#k;CUe;P-&{wI*%9}?pI?CRw()<9f>%RJl"
        "OK;9I0p4f}ldWzx9)h$s8!KzzU-cIhvVX0>tvVLsF3L)}e2(Vdp2RW~*7}@bn5LPP+5o)z6WV=kdv0BBtE~@p?Dj+^PoOONb{6+^ti@fK"
        "N#kiQi?vbL;`=bWfBUI;-!GRd`TM>4be5|HgRdv!2`1aezemVV&+B=F`cwwr3V-)+8T@k%a=-e?r2Kz1*gYOkufZsL|B?Hjejb<AfZ-=+"
        "y)?j<iLtqAJPevlHwE^Asc1PBwGTo4;ER)O++w?o+aBfE{8vcKcF0S0hwlD6Su1os23j~8N_xV=!!6xAGa>a@xQy)+QQieP>!+k>;zA|8"
        "umzg36{{)ZrU!`Qzn3@5cqKIMC}IsIFOcyA7xNS}5tya4xajpUNu@AUOpVFZhQkXd0M0c<zL;?&VuI>ywy<1O2%KJfAZJKBq#do^pkdhC"
        ";iQ%Jv6xgaqEq8=#8c1y1%95R1^"
    ),
}
"""By version and protocol: 5 with masks of int64, as the train file seems to have, 4 of uint8, as the test file."""

VERSIONS = tuple(_PICKLES)


def real_pickle(version: str, protocol: int) -> bytes:
    """The bytes that this version of pandas wrote."""
    return zlib.decompress(base64.b85decode(_PICKLES[version, protocol]))
